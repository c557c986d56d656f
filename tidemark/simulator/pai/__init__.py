"""Alibaba Cloud's PAI services at the wire: DLC, EAS, AIWorkSpace, PaiStudio, and ECS prices."""
