"""Quote, approval, spending policy and the ledger; only the ledger does I/O."""
