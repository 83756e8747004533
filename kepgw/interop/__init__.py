"""Peers, routing, profiles, relay and timers: how a message gets from one provider to another."""
