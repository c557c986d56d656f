"""Alibaba Cloud: the PAI services, ECS prices, and what signs and carries calls to them."""
