//! The face on the serial line.
