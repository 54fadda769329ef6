#!/bin/sh
# Runs the module from a cache on the target, so that a task sends these few KiB and not the binary.
#
# ansible-core puts the module's arguments in here, the action plugin fills in what stands between @ and @, and the whole
# goes to a shell on its standard input. What this prints ends in one of two ways:
#
#   the line `qcss_scanner begins`, then what the module prints, or
#   {"qcss_scanner_cache": WHY, ...}: the module has not begun, and the plugin may go another way.
#
# The arguments hold secrets. They stay in a variable and in a pipe, which a builtin writes: never on a command line, and
# in no file, as the one that some shells make for a here-document.
unset arguments # or they would be exported where the environment has a variable of this name
arguments='<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>'
folder=@FOLDER@
checksums=@CHECKSUMS@ # " ARCHITECTURE=SHA256 ARCHITECTURE=SHA256 "

# Says why the module has not begun, and ends.
stop() {
    case $folder in *[\"\\[:cntrl:]]*) folder= ;; esac # it would be no JSON
    printf '{"qcss_scanner_cache": "%s", "architecture": "%s", "folder": "%s"}\n' "$1" "$architecture" "$folder"
    exit
}

# Whether only root and this user can change or exchange each of these, so that what was verified is what will run.
# A link is refused, and so is a folder such as /tmp: whoever cleans it up makes way for others.
only_ours() {
    # shellcheck disable=SC2012 # Only what comes before the name is read, and nothing else in POSIX tells it.
    ls -ldn "$@" 2>/dev/null | (
        seen=0
        while read -r mode _ owner _; do
            case $owner in 0 | "$me") ;; *) exit 1 ;; esac
            case $mode in d????-??-* | -rwx?-??-*) ;; *) exit 1 ;; esac
            seen=$((seen + 1))
        done
        [ "$seen" -eq $# ]
    )
}

architecture=$(uname -m)
case $checksums in *" $architecture="*) ;; *) stop architecture ;; esac
checksum=${checksums##*" $architecture="}
checksum=${checksum%% *}

# shellcheck disable=SC2088 # Not for the shell to expand: where there is no HOME there is no folder.
case $folder in '~/'*) folder=${HOME:+$HOME${folder#'~'}} ;; esac
case $folder in /*) ;; *) stop 'the folder has no absolute path' ;; esac
[ -e /dev/stdin ] || stop 'there is no /dev/stdin'
[ "$(command -v printf)" = printf ] || stop 'printf is not a builtin of the shell'
command -v sha256sum >/dev/null || stop 'there is no sha256sum'

[ ! -L "$folder" ] || stop 'the folder is a link'
[ -d "$folder" ] || (umask 077 && mkdir -p "$folder") 2>/dev/null || stop 'the folder cannot be made'
# Where links further up lead: they may be the administrator's.
folder=$(cd "$folder" && pwd -P) || stop 'the folder cannot be entered'
module=$folder/qcss_scanner-$checksum
me=$(id -u)

rest=$folder
set -- /
while [ -n "$rest" ]; do
    set -- "$@" "$rest"
    rest=${rest%/*}
done
if [ ! -f "$module" ] || ! only_ours "$@" "$module"; then
    only_ours "$@" || stop 'others can change the folder'
    [ ! -d "$module" ] || stop 'a folder is in the way'
    stop missing
fi
case $(sha256sum <"$module") in "$checksum "*) ;; *) stop missing ;; esac

printf 'qcss_scanner begins\n' || exit
printf '%s\n' "$arguments" | "$module" /dev/stdin
status=$?
# The shell's word that the file was not executed. The module ends with 0 or 1.
case $status in 126 | 127) stop 'the folder does not allow to execute' ;; esac
exit $status
