"""The world offline: an LLM endpoint whose true latencies are known."""
