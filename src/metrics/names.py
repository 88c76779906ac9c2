"""What rows of the score table are called; imports nothing, so that a report needs no torch."""

# variants beside the checkpoints: the untouched model, held-out photos, training photos in place of drawn images
BASE, REAL, COPY = "base", "real", "copy"
# what prompts belong to: choice of the checkpoint, report, the class alone, the subject alone
DEV, TEST, PRIOR, BARE = "dev", "test", "prior", "bare"
DRAWN_SETS = (DEV, TEST, PRIOR, BARE)
# what a checkpoint is chosen by and runs are compared by; identity for persons only
SUBJECT, PROMPT, IDENTITY = "dino_vits16", "clip_t", "id_sim_all"
# identity over the images with a face alone, and the share of those
SIM_DETECTED, FACE_RATE = "id_sim_detected", "face_rate"
# likeness to the nearest training photo, and to the held-out ones
NEAREST, GAP = "nn_train", "copy_gap"
# the class noun alone: likeness to the subject, and distance from what the base model draws
PRES, KID = "pres", "kid_dino_vits16"
# nearer to a training photo than this share of the held-out photos are: suspected of being a copy
REAL_QUANTILE = 0.99
