"""Pictures and volumes with named points: found in a table, checked, brought to a network's grid and back."""
