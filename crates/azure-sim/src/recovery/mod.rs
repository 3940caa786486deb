//! Recovery Services: placeholder.
