//! The power of numbers, which Lua's operator `^` asks the machine for (R12).
//!
//! The platform's function differs from platform to platform, even from processor to processor, in the last digit. Lua offers no way to
//! replace an operator, but it calls the function by its name. So this program has a function of that name of its own.

/// What C calls `pow`: everything in this program that calls it gets this one, the same on every machine.
#[allow(
    unsafe_code,
    unreachable_pub,
    reason = "the name is the point: it takes the place of the platform's function, with the same signature and meaning"
)]
#[unsafe(no_mangle)]
pub extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
