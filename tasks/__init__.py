"""One Prefect task per step a person would name."""
