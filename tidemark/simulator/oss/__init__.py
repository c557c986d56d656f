"""Alibaba Cloud OSS at the wire, for results that are kept offline: buckets in memory."""
