"""Sandboxes of a Sandbar bridge: `get_sandbox` and `get_async_sandbox`."""

from .errors import *
from .sandbox import AsyncSandbox as AsyncSandbox
from .sandbox import Sandbox as Sandbox
from .sandbox import get_async_sandbox as get_async_sandbox
from .sandbox import get_sandbox as get_sandbox
from .types import *
