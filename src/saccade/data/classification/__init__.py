"""Pictures and volumes with a target each: found in a folder, read, checked, dealt out to folds."""
