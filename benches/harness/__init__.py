"""The comparative benchmark: engine, floor and peer under one load generator."""
