"""An example of a network outside Saccade."""
