"""Update rules, one file a method; ``RULES`` lists them for the registry."""

from theorylab.rule import UpdateRule

RULES: tuple[type[UpdateRule], ...] = ()
