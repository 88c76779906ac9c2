"""What the sets of images are called, in prompts, in the manifest and in the score table."""

# prompts that a checkpoint is chosen by and those of the report; one prompt each, generated with many seeds: the class
# noun alone (what has become of the class?) and the subject alone (is a training photo copied?); texts about others
DEV, TEST, CLASS_ONLY, SUBJECT_ONLY, UNRELATED = "dev", "test", "class-only", "subject-only", "unrelated"
GENERATED_SETS = (DEV, TEST, CLASS_ONLY, SUBJECT_ONLY, UNRELATED)
# the set of the photos
PHOTOS = "none"
