"""What rows of the score table are called; imports no package, so that a report needs no torch."""

from src.core.sets import CLASS_ONLY, SUBJECT_ONLY, TEST, UNRELATED

# variants beside the checkpoints: the untouched model, held-out photos, training photos in place of generated images
BASE, REAL, COPY = "base", "real", "copy"
# both kinds of photos through the base model's autoencoder: as sharp as the model can generate at all
REAL_DECODED, COPY_DECODED = "real (autoencoder)", "copy (autoencoder)"
HELD_OUT_ROWS = (REAL, REAL_DECODED)
ROWS = (BASE, REAL, COPY, REAL_DECODED, COPY_DECODED)
# metrics are called by what they measure; `Quantity.key` adds the model where numbers of several runs meet
# what a checkpoint is chosen by and runs are compared by; identity for persons only
SUBJECT, PROMPT, IDENTITY = "dino", "clip_t", "id_sim_all"
# identity over the images with a face alone, and the share of those
SIM_DETECTED, FACE_RATE = "id_sim_detected", "face_rate"
# likeness to the nearest training photo, and to the held-out ones
NEAREST, GAP = "nn_train", "copy_gap"
# the most similar part of a training photo, by pixels: no model measures it
PART = "part_train"
# the class noun alone: likeness to the subject, and distance from what the base model generates
PRES, KID = "pres", "kid"
# texts about other things: likeness to what the base model generates of the same noise
KEPT = "unrelated"
# a figure of pairs of images, so an image's values are not independent
DIVERSITY = "div_lpips"
# a metric's figure is its mean on the first of these with values: the class alone for PRES, the subject alone for
# DIVERSITY where each test prompt has one image, texts about other things for KEPT
REPORTED_SETS = (TEST, CLASS_ONLY, SUBJECT_ONLY, UNRELATED)
# what the assignment calls metrics
ALIASES = {"text_sim": PROMPT, "image_sim": "clip_i"}
# nearer to a training photo than this share of the held-out photos are: suspected of being a copy
REAL_QUANTILE = 0.99
