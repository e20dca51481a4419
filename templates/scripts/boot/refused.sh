DODAI_GRANTED=no
DODAI_REASON={{ reason | sh }}
