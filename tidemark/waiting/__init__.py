"""Pure decisions about a thing that is starting or running: wait, diagnose, or stop, and why."""
