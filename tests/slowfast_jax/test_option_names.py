"""Messages name the options of the command in which they appear."""

import pytest

from slowfast_jax.option_names import as_fields, as_options

PREFIX = 'remove it with strip=("net.",)\n  - table'


@pytest.mark.parametrize("message, option, field", [
    (PREFIX, '--strip "net."', """--config.train.init_from.strip="('net.',)\""""),
    ('such as skip=("head/.*",)', '--skip "head/.*"',
     """--config.train.init_from.skip="('head/.*',)\""""),
    ("or pass skip= with patterns", "pass --skip with", "pass --config.train.init_from.skip with"),
    ('such as entry="ema"', '--entry "ema"', "--config.train.init_from.entry=ema"),
    ("set num_classes=7;", "--num-classes 7;", "--config.model.num_classes=7;"),
])
def test_keywords_become_options(message, option, field):
    assert option in as_options(message)
    assert field in as_fields(message, training=True)


def test_other_modes_point_to_the_convert_command():
    first, *rest = as_fields(PREFIX, training=False).split("\n")
    assert first.startswith('remove it with --strip "net." (an option of python -m convert: ')
    assert rest == ["  - table"]
    assert as_fields("no such file", training=False) == "no such file"
