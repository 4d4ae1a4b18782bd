from hypothesis import Phase, settings

# The fixture `small_project` for every test that looks at what a finished night leaves behind.
pytest_plugins = ["small_project"]

# The same examples on every machine; a first compilation is no reason to fail.
settings.register_profile(
    "waymark",
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
settings.load_profile("waymark")
