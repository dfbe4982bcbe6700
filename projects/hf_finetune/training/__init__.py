"""The Trainer with AWP and mixout in its step, its callbacks, and the process that watches over it."""
