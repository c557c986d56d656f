"""What to measure: scenarios, endpoints, sweeps and their cells."""
