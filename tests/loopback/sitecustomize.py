"""Lets every process of a test's Ray cluster find it on the loopback interface, where alone it listens.

Ray's own processes take the machine's address wherever 127.0.0.1 is named; Python reads this as it starts.
"""

from ray._private import services

services.resolve_ip_for_localhost = lambda address: address
services.get_node_ip_address = lambda address=None: "127.0.0.1"
