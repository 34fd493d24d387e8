"""A small Hub of our own on a loopback socket: the real clients talk to it, and no test needs the internet."""

from hub_server.client import ClientFailed, run_client
from hub_server.faults import Fault, Faults
from hub_server.server import HubServer

__all__ = ["ClientFailed", "Fault", "Faults", "HubServer", "run_client"]
