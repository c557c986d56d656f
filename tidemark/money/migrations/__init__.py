"""How the ledger's tables came to be: one step a file, applied when a ledger is opened."""
