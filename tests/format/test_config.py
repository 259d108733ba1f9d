import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import DamageError, FormatError, UnsupportedError
from pyrestic.format.config import Config
from pyrestic.format.polynomial import degree, is_irreducible

POLYNOMIAL = 0x35EC891FBDE741
TEXT = b'{"version":2,"id":"%s","chunker_polynomial":"35ec891fbde741"}' % (b"0f" * 32)
CONFIG = Config(2, "0f" * 32, POLYNOMIAL)


def test_a_config_is_written_as_restic_writes_it() -> None:
    assert CONFIG.encode() == TEXT


@pytest.mark.parametrize("version", [1, 2])
def test_a_config_survives_encoding(version: int) -> None:
    config = Config.create(version)
    assert config.version == version
    assert Config.parse(config.encode()) == config


def test_new_configs_have_an_id_and_an_irreducible_polynomial_of_their_own() -> None:
    one, other = Config.create(), Config.create()
    assert one.version == 2
    assert one.id != other.id
    assert one.chunker_polynomial != other.chunker_polynomial
    assert degree(one.chunker_polynomial) == 53
    assert is_irreducible(one.chunker_polynomial)


def test_a_given_polynomial_is_taken() -> None:
    assert Config.create(1, POLYNOMIAL).chunker_polynomial == POLYNOMIAL


@pytest.mark.parametrize(
    "polynomial", [0, 1, 2, POLYNOMIAL << 1, POLYNOMIAL ^ 1, 0x3DA3358B4DC172, 0b1011, -POLYNOMIAL]
)
def test_a_new_config_refuses_a_bad_polynomial(polynomial: int) -> None:
    with pytest.raises(FormatError, match="irreducible"):
        Config.create(2, polynomial)


@pytest.mark.parametrize("version", [-1, 0, 3, 99])
def test_other_versions_are_not_supported(version: int) -> None:
    with pytest.raises(UnsupportedError, match=f"version {version} "):
        Config.create(version)
    with pytest.raises(UnsupportedError, match=f"version {version} "):
        Config.parse(TEXT.replace(b'"version":2', b'"version":%d' % version))


def test_a_later_version_with_other_fields_is_not_supported_rather_than_damaged() -> None:
    with pytest.raises(UnsupportedError):
        Config.parse(b'{"version":3,"repository":{"id":1}}')


@pytest.mark.parametrize(
    "polynomial",
    [
        b"",
        b"0",
        b"b",
        b"35ec891fbde740",
        b"6bd9123f7bce82",
        b"35ec891fbde741 ",
        b"0x35ec891fbde741",
        b"-35ec891fbde741",
        b"35ec_891fbde741",
        b"35ec891fbde741\\n",
        b"zz",
        b"f" * 17,
        b"f" * 100_000,
    ],
)
def test_a_bad_polynomial_is_refused(polynomial: bytes) -> None:
    with pytest.raises(FormatError):
        Config.parse(TEXT.replace(b"35ec891fbde741", polynomial))


@pytest.mark.parametrize("identifier", [b"", b"0f" * 31, b"0f" * 31 + b"zz", b"../" * 21 + b"x", b"0f" * 33])
def test_an_id_that_could_not_name_a_folder_is_refused(identifier: bytes) -> None:
    with pytest.raises(FormatError):
        Config.parse(TEXT.replace(b"0f" * 32, identifier))


def test_unknown_keys_are_read_over() -> None:
    assert Config.parse(TEXT.replace(b"{", b'{"more":[1,{}],', 1)) == CONFIG


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", TEXT[:-1], b'{"version":2}', b'{"version":"2"}', b"\xff"])
def test_what_is_no_config_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        Config.parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DamageError):
        Config.parse(data)


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_a_config_or_an_error_of_ours(place: int, byte: int) -> None:
    try:
        config = Config.parse(TEXT[:place] + bytes([byte]) + TEXT[place + 1 :])
    except (DamageError, UnsupportedError):
        return
    assert is_irreducible(config.chunker_polynomial)
