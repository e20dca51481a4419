# What is planned, for the methods that put the image of a whole disk onto this machine's.

readonly IMAGE_UNPACKED_BYTES={{ image.unpacked_bytes | int | sh }}
readonly IMAGE_NAME={{ image.name | sh }}
readonly PLANNED_SERIAL={{ disk.serial | sh }}
readonly PLANNED_WWN={{ disk.wwn | sh }}
readonly ROOT=/mnt/root
readonly INSTANCE=dodai-{{ attempt.id | default(0) | int }}
# What a sample of the image has for a digest: a line `offset digest` each.
readonly SAMPLES={{ samples | sh }}
readonly SAMPLE_BYTES={{ sample_bytes | int | sh }}
readonly ROOT_PARTITION={{ root_partition | int | sh }} # 0: found by what is in it
readonly GROW={{ 'yes' if grow else 'no' }}
readonly SET_UP_BY={{ set_up_by | sh }}
