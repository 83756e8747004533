"""SMTP: submission and relay-in on the server side, relay-out on the client side.

grammar    commands, paths and ESMTP parameters      (no I/O)
data       dot transparency, both ways               (no I/O)
replies    building and reading replies              (no I/O)
sasl       PLAIN and LOGIN exchanges                 (no I/O)
limits     every bound of a session
channel    the octets of one connection, TLS, back-pressure and deadlines
session    the verbs that both doors share; submission and relay_in are the doors
server     listening, caps on connections, a stop that loses nothing
client     giving messages to peers
"""
