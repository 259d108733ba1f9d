"""The default route, as the kernel's tables show it."""

from pathlib import Path

import pytest

from pyrestic.localfs.online import has_default_route, read_sleep_seconds

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
LOCAL = "wlan0\t0000A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0\n"
DEFAULT_6 = f"{'0' * 32} 00 {'0' * 32} 00 fe8{'0' * 29} 00000400 00000001 00000000 00000003 wlan0\n"
REJECT_6 = f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200 lo\n"
LOCAL_6 = f"fe8{'0' * 29} 40 {'0' * 32} 00 {'0' * 32} 00000100 00000001 00000000 00000001 wlan0\n"


@pytest.mark.parametrize(
    ("routes", "routes_6", "online"),
    [
        (HEADER + DEFAULT + LOCAL, "", True),
        (HEADER + LOCAL, LOCAL_6 + REJECT_6, False),
        (HEADER, "", False),
        (HEADER, LOCAL_6 + DEFAULT_6, True),
        # The route is rejected, not up, or its flags are not readable.
        (HEADER + DEFAULT.replace("0003", "0203"), "", False),
        (HEADER + DEFAULT.replace("0003", "0002"), "", False),
        (HEADER + DEFAULT.replace("0003", "wxyz"), "", False),
        # Half of the addresses, as some private networks have it, is no default route.
        (HEADER + DEFAULT.replace("00000000\t0\t0\t0", "00000080\t0\t0\t0"), "", False),
        (HEADER + "broken\n", "broken\n", False),
    ],
)
def test_a_default_route_of_either_kind_means_online(routes: str, routes_6: str, online: bool, tmp_path: Path) -> None:
    (tmp_path / "route").write_text(routes)
    (tmp_path / "ipv6_route").write_text(routes_6)
    assert has_default_route(str(tmp_path / "route"), str(tmp_path / "ipv6_route")) is online


def test_a_kernel_without_these_tables_counts_as_online(tmp_path: Path) -> None:
    assert has_default_route(str(tmp_path / "route"), str(tmp_path / "ipv6_route"))


def test_the_sleep_since_the_start_is_not_negative() -> None:
    assert read_sleep_seconds() > -1
