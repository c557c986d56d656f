"""Reports and plots over the results that were kept."""
