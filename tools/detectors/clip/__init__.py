"""Zero-shot detectors: pictures against sentences, with CLIP from open_clip (extra `clip`)."""
