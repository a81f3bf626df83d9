"""The published network, the records of all trainings, and the command that made them."""
