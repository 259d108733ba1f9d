"""Services of the desktop and the system, asked over D-Bus: network, sleep, notifications, key ring.

They are optional: without the extra `desktop`, without a bus or without an answer in time, a fact is unknown.
"""
