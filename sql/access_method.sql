CREATE ACCESS METHOD learned TYPE INDEX HANDLER learned_amhandler;
COMMENT ON ACCESS METHOD learned IS 'ordered index over compressed leaves, found by a small model of the keys';
