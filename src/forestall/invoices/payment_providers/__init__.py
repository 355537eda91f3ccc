"""Payment providers: one file each with a `SPEC` and `charge`. None is used until somebody turns one on."""
