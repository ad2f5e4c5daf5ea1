//! Where the program begins, how it speaks and how it ends. The only file that knows what it runs on: a system with a C
//! library, or a microcontroller with a debugger.

pub(crate) use imp::say;

#[cfg(not(target_os = "none"))]
mod imp {
    use core::fmt::{Arguments, Write};

    #[link(name = "c")]
    unsafe extern "C" {
        fn write(file: i32, bytes: *const u8, length: usize) -> isize;
        safe fn _exit(status: i32) -> !;
    }

    struct Output;

    impl Write for Output {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            // SAFETY: the pointer and the length are those of one string.
            let written = unsafe { write(1, text.as_ptr(), text.len()) };
            if usize::try_from(written) == Ok(text.len()) {
                Ok(())
            } else {
                Err(core::fmt::Error)
            }
        }
    }

    /// Prints a line. A line that can not be printed ends the program.
    pub(crate) fn say(line: Arguments<'_>) {
        if writeln!(Output, "{line}").is_err() {
            _exit(3);
        }
    }

    // SAFETY: the name that the C library calls, with a signature that it allows; nothing else has it.
    #[unsafe(no_mangle)]
    extern "C" fn main() -> i32 {
        i32::from(!crate::run())
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        say(format_args!("no_std: {info}"));
        _exit(2)
    }

    /// What unwinding would call. The library `alloc` of a system with `std` was compiled to unwind and refers to it; here
    /// a panic ends the program before.
    // SAFETY: the name that `alloc` refers to; nothing else has it, and nothing calls it.
    #[unsafe(no_mangle)]
    extern "C" fn rust_eh_personality() {
        _exit(4)
    }
}

#[cfg(target_os = "none")]
mod imp {
    use core::fmt::Arguments;

    use semihosting::process::ExitCode;

    /// Prints a line, on the debugger's console.
    pub(crate) fn say(line: Arguments<'_>) {
        semihosting::println!("{line}");
    }

    #[cortex_m_rt::entry]
    fn main() -> ! {
        ExitCode::from(u8::from(!crate::run())).exit_process()
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
        say(format_args!("no_std: {info}"));
        ExitCode::from(2).exit_process()
    }
}

/// The critical sections of a machine with one thread and no interrupts: nothing to switch off, only to count.
pub(crate) mod section {
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use crate::check::{decrement, increment};

    static DEPTH: AtomicUsize = AtomicUsize::new(0);

    /// How many critical sections are open.
    pub(crate) fn depth() -> usize {
        DEPTH.load(Relaxed)
    }

    struct Counted;
    critical_section::set_impl!(Counted);

    // SAFETY: nothing runs beside this program's one thread (no second thread, no interrupt handler), so it is alone in every
    // section, and whatever it does is ordered by itself.
    unsafe impl critical_section::Impl for Counted {
        unsafe fn acquire() {
            increment(&DEPTH);
        }

        unsafe fn release((): ()) {
            decrement(&DEPTH);
        }
    }
}
