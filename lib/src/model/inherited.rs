//! Which variables a program that is more than its starter does not take from it.
//!
//! Owns: the names. Must never: look at a value.

/// Of the loader, the C library, shells and interpreters: each makes a program do, or read, what its starter wants.
/// `secure_getenv(3)`, ld.so(8), bash(1), perlrun(1), python(1), ruby(1), node(1), java(1).
const NAMES: &[&str] = &[
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "CLASSPATH",
    "ENV",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLOBIGNORE",
    "HOSTALIASES",
    "IFS",
    "JAVA_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCALDOMAIN",
    "LOCPATH",
    "MEMPROF",
    "NIS_PATH",
    "NLSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_REPL_EXTERNAL_MODULE",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PROMPT_COMMAND",
    "PS4",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "TMPDIR",
    "TZDIR",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

/// Of those with more than one: the same.
const PREFIXES: &[&str] = &[
    "ASAN_",
    "BASH_FUNC_",
    "BUNDLE_",
    "CORECLR_",
    "COR_",
    "DOTNET_",
    "ERL_",
    "GEM_",
    "GLIBC_",
    "GUILE_",
    "JULIA_",
    "LD_",
    "LSAN_",
    "LUA_",
    "MALLOC_",
    "MSAN_",
    "MUSL_",
    "OPENSSL_",
    "PERL",
    "PYTHON",
    "TCL",
    "TSAN_",
    "UBSAN_",
];

/// Whether a variable of this name stays behind.
pub fn is_dropped(name: &[u8]) -> bool {
    NAMES.iter().any(|known| known.as_bytes() == name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

/// Whether a variable says where zei-init looks, and puts what it makes.
pub fn is_zeis(name: &[u8]) -> bool {
    name.starts_with(b"ZEI_") || name == b"XDG_RUNTIME_DIR"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_a_program_do_something_else_stays_behind_and_nothing_more() {
        for name in [
            "LD_PRELOAD",
            "GLIBC_TUNABLES",
            "BASH_ENV",
            "ENV",
            "PYTHONPATH",
            "PERL5OPT",
            "BASH_FUNC_ls%%",
            "LUA_INIT_5_4",
        ] {
            assert!(is_dropped(name.as_bytes()), "{name}");
        }
        for name in ["PATH", "HOME", "TZ", "LANG", "ENVIRONMENT", "OLD_LD_PRELOAD", "DATABASE_URL", ""] {
            assert!(!is_dropped(name.as_bytes()), "{name}");
        }
    }
}
