import pytest

from slowfast_jax.serve.address import web_address


@pytest.mark.parametrize(("host", "expected"), [
    ("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("here", "http://here:80"),
])
def test_an_address_can_be_opened(host, expected):
    assert web_address(host, 80) == expected
