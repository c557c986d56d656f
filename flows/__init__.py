"""The front doors: what is deployed, scheduled, triggered, clicked."""
