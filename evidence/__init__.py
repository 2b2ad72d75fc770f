"""Evidence: artefacts under seal, with a custody entry for every touch."""
