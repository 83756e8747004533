"""The commands of ``kepgw``, one module a group. Each imports what it needs when it runs: ``--help`` must be quick."""
