DODAI_GIVEN=yes
DODAI_ANSWERS={{ text | sh }}
DODAI_BEFORE={{ before | sh }}
