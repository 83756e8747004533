"""What happened to a message, as data: evidence, its XML forms, its signature and its readable rendering.

Pure: octets and dataclasses in, octets and dataclasses out. No file, no network, no clock.
"""
