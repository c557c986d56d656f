"""The table behind `tidemark.alibaba.explanations`: one file per topic, each with its `ENTRIES`."""
