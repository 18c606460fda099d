#!/bin/sh
# Tunes a host for Ringmain where its binary is not at hand: what `ringmain tune` does, for two sizes.
# Needs a POSIX shell with awk, sed and the usual file commands. See `scripts/tune.sh --help`.
set -eu
# Names of files are in one order everywhere.
LC_ALL=C
export LC_ALL

usage() {
  cat <<'USAGE'
Usage: tune.sh plan|apply PROFILE [OPTION...]
       tune.sh revert [--root DIRECTORY]

  plan     show what would change
  apply    set the values, now and for each boot, and keep what was there; needs root
  revert   restore values and files as they were before the first apply; needs root

Profiles: 100k and 1m connections.

Options:
  --conntrack        raise the table of connection tracking too
  --huge-pages       give huge pages only to programs that ask for them
  --root DIRECTORY   a tree that takes the place of /

Examples:
  scripts/tune.sh plan 1m
  sudo scripts/tune.sh apply 100k
  sudo scripts/tune.sh revert

What was there is kept in /var/lib/ringmain/tune, as `ringmain tune` does: each can revert what the other applied.

Exit codes: 0 done, 1 the system refused something or this is not root, 2 wrong command line
USAGE
}

# KIND;CONSENT;DIRECTION;NAME;PATH OR LINE;UNIT;NEEDED BEFORE KERNEL;VALUE FOR 100k;VALUE FOR 1m
settings() {
  cat <<'TABLE'
# BEGIN generated: cargo run -p ringmain-tuning --example generate
sysctl;tuning;at-least;fs.nr_open;/proc/sys/fs/nr_open;1;-;1048576;2097152
sysctl;tuning;at-least;fs.file-max;/proc/sys/fs/file-max;1;-;524288;2097152
sysctl;tuning;at-least;net.core.somaxconn;/proc/sys/net/core/somaxconn;1;-;16384;65535
sysctl;tuning;at-least;net.ipv4.tcp_max_syn_backlog;/proc/sys/net/ipv4/tcp_max_syn_backlog;1;-;16384;65536
sysctl;tuning;at-least;net.core.netdev_max_backlog;/proc/sys/net/core/netdev_max_backlog;1;-;16384;65536
sysctl;tuning;at-most;net.ipv4.tcp_rmem;/proc/sys/net/ipv4/tcp_rmem;1;-;4096 65536 1048576;4096 32768 262144
sysctl;tuning;at-most;net.ipv4.tcp_wmem;/proc/sys/net/ipv4/tcp_wmem;1;-;4096 16384 1048576;4096 16384 262144
sysctl;tuning;at-least;net.ipv4.tcp_mem;/proc/sys/net/ipv4/tcp_mem;1;-;memory:15,20,25;memory:15,20,30
sysctl;tuning;at-most;net.ipv4.tcp_notsent_lowat;/proc/sys/net/ipv4/tcp_notsent_lowat;1;-;131072;65536
sysctl;tuning;exactly;net.ipv4.tcp_slow_start_after_idle;/proc/sys/net/ipv4/tcp_slow_start_after_idle;1;-;0;0
sysctl;tuning;at-least;net.ipv4.tcp_max_tw_buckets;/proc/sys/net/ipv4/tcp_max_tw_buckets;1;-;262144;1048576
sysctl;tuning;at-least;net.ipv4.tcp_max_orphans;/proc/sys/net/ipv4/tcp_max_orphans;1;-;131072;262144
sysctl;tuning;at-most;net.ipv4.tcp_fin_timeout;/proc/sys/net/ipv4/tcp_fin_timeout;1;-;30;15
sysctl;tuning;exactly;net.ipv4.tcp_migrate_req;/proc/sys/net/ipv4/tcp_migrate_req;1;-;1;1
sysctl;tuning;covers;net.ipv4.ip_local_port_range;/proc/sys/net/ipv4/ip_local_port_range;1;-;10240 65535;10240 65535
limit;tuning;at-least;nofile;Max open files;1;-;1048576;2097152
limit;tuning;at-least;memlock;Max locked memory;1024;5.12;67108864;67108864
sysctl;conntrack;at-least;net.netfilter.nf_conntrack_max;/proc/sys/net/netfilter/nf_conntrack_max;1;-;262144;2097152
sysctl;conntrack;at-most;net.netfilter.nf_conntrack_tcp_timeout_established;/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established;1;-;86400;86400
sysfs;huge-pages;exactly;transparent_hugepage;/sys/kernel/mm/transparent_hugepage/enabled;1;-;madvise;madvise
# END generated
TABLE
}

SYSCTL=/etc/sysctl.d/90-ringmain.conf
LIMITS=/etc/security/limits.d/90-ringmain.conf
TMPFILES=/etc/tmpfiles.d/90-ringmain.conf
DIRECTORY=/var/lib/ringmain/tune
RECORD=$DIRECTORY/before
root=''
refused=0

fail() {
  echo "error: $2" >&2
  exit "$1"
}

# --- what there is -------------------------------------------------------------------------------

# percent,percent,percent of the memory, in pages.
memory_pages() {
  page=$(getconf PAGESIZE 2>/dev/null || echo 4096)
  awk -v percents="$1" -v page="$page" '
    $1 == "MemTotal:" {
      hundredth = int($2 * 1024 / 100)
      count = split(percents, percent, ",")
      for (i = 1; i <= count; i++) printf "%s%.0f", (i > 1 ? " " : ""), int(hundredth * percent[i] / page)
    }' "$root/proc/meminfo"
}

# KIND PATH_OR_LINE: the value in force, or nothing.
current() {
  case $1 in
    limit) awk -v line="$2" 'index($0, line) == 1 { sub(line, ""); print $2 }' "$root/proc/self/limits" ;;
    sysfs) sed 's/.*\[\(.*\)\].*/\1/' "$root$2" 2>/dev/null || : ;;
    *) cat "$root$2" 2>/dev/null || : ;;
  esac
}

# DIRECTION CURRENT WANTED: the wanted value, but in no part worse than the current one.
better() {
  awk -v direction="$1" -v current="$2" -v wanted="$3" '
    function size(text) { return text == "unlimited" ? 1e30 : text + 0 }
    BEGIN {
      count = split(current, have, " ")
      if (count != split(wanted, want, " ") || wanted !~ /^[0-9]/) { print wanted; exit }
      for (i = 1; i <= count; i++) {
        keep = direction == "at-least" && size(have[i]) > size(want[i]) \
          || direction == "at-most" && size(have[i]) < size(want[i]) \
          || direction == "covers" && (i == 1 ? size(have[i]) < size(want[i]) : size(have[i]) > size(want[i]))
        printf "%s%s", (i > 1 ? " " : ""), (keep ? have[i] : want[i])
      }
    }'
}

# The numbers apart by single spaces.
plain() {
  echo "$1" | awk '{ $1 = $1; print }'
}

# Whether the running kernel is older than MAJOR.MINOR.
is_before() {
  awk -v limit="$1" '{
    split($0, have, /[.-]/); split(limit, first, ".")
    exit !(have[1] + 0 < first[1] || have[1] + 0 == first[1] && have[2] + 0 < first[2])
  }' "$root/proc/sys/kernel/osrelease"
}

# A file's text, with an end to its last line; nothing if it is not there.
file_text() {
  [ ! -f "$root$1" ] || awk '{ print }' "$root$1"
}

# Files of kernel settings beside ours, in the order in which they are read: by name, of one name the first.
other_files() {
  for directory in /etc/sysctl.d /run/sysctl.d /usr/local/lib/sysctl.d /usr/lib/sysctl.d /lib/sysctl.d; do
    for file in "$root$directory"/*.conf; do
      [ ! -f "$file" ] || echo "$directory/${file##*/}"
    done
  done | awk -F/ -v ours="${SYSCTL##*/}" '$NF != ours && !seen[$NF]++ { print $NF "/" $0 }' | sort -t/ -k1,1 | cut -d/ -f2-
}

# For awk: what a line is about, or nothing, and its value, in the syntax of sysctl, limits or tmpfiles.
LINES='
  function trimmed(text) { gsub(/^[ \t\r]+|[ \t\r]+$/, "", text); return text }
  function key_of(line, word, count, at, key, bare) {
    line = trimmed(line)
    count = split(line, word, /[ \t]+/)
    if (line ~ /^#/) return ""
    if (syntax == "limits") return count < 4 ? "" : word[1] " " word[2] " " word[3]
    if (syntax == "tmpfiles") return count < 2 ? "" : word[2]
    at = index(line, "=")
    key = bare = at ? trimmed(substr(line, 1, at - 1)) : line
    sub(/^-+/, "", bare)
    if (line ~ /^;/ || bare == "" || !at && bare == key) return ""
    gsub("/", ".", bare)
    return bare
  }
  function value_of(line, word) {
    line = trimmed(line)
    if (syntax == "limits") { split(line, word, /[ \t]+/); return word[4] }
    if (!index(line, "=")) return ""
    line = trimmed(substr(line, index(line, "=") + 1))
    gsub(/[ \t]+/, " ", line)
    return line ~ /^[^ ]+$/ || line ~ /^[0-9 ]+$/ ? line : ""
  }
'

# SYNTAX KEY, text on stdin: the value that it sets last.
last_value() {
  awk -v syntax="$1" -v key="$2" "$LINES"'
    key_of($0) == key && value_of($0) != "" { found = value_of($0) }
    END { if (found != "") print found }'
}

# Whether the record has a line that begins so.
is_recorded() {
  [ -f "$root$RECORD" ] && awk -v start="$1 " 'index($0, start) == 1 { found = 1 } END { exit !found }' "$root$RECORD"
}

# KIND PATH_OR_LINE NAME: whether it was applied before.
was_applied() {
  case $1 in
    limit) is_recorded "limit $3" ;;
    *) is_recorded "value $2" ;;
  esac
}

# A line each: ACTION;KIND;NAME;PATH;UNIT;CURRENT;NEW;DIRECTION. Actions: set; applied, which was set before and is good;
# boot, which is good and is to be written for the next boot; keep, which is good and left to others; missing.
plan_rows() {
  others=$(other_files | while IFS= read -r file; do file_text "$file"; done)
  settings | grep -v '^#' | while IFS=';' read -r kind consent direction name path unit before few many; do
    applied=no
    if was_applied "$kind" "$path" "$name"; then applied=yes; fi
    case $consent in
      conntrack) [ "$conntrack$applied" != nono ] || continue ;;
      huge-pages) [ "$huge_pages$applied" != nono ] || continue ;;
    esac
    if [ "$before" != - ] && ! is_before "$before"; then continue; fi
    wanted=$few
    [ "$profile" = 100k ] || wanted=$many
    case $wanted in memory:*) wanted=$(memory_pages "${wanted#memory:}") ;; esac
    now=$(current "$kind" "$path")
    if [ -z "$now" ]; then
      echo "missing;$kind;$name;$path;$unit;;$wanted;$direction"
      continue
    fi
    new=$(better "$direction" "$now" "$wanted")
    action='set'
    if [ "$(plain "$now")" = "$new" ]; then
      action=applied
      [ "$applied" = yes ] || action=$(kept "$kind" "$name" "$direction" "$wanted")
    fi
    echo "$action;$kind;$name;$path;$unit;$now;$new;$direction"
  done
}

# KIND NAME DIRECTION WANTED: what becomes of a setting that is good. What this session has of a limit is not everyone's:
# that is left to whatever gave it.
kept() {
  case $1 in
    limit) echo keep ;;
    sysfs) echo boot ;;
    *)
      old=$(file_text "$SYSCTL" | last_value sysctl "$2")
      other=$(echo "$others" | last_value sysctl "$2")
      if [ -z "$old" ] && [ -n "$other" ] && [ "$(better "$3" "$other" "$4")" = "$other" ]; then echo keep; else echo boot; fi
      ;;
  esac
}

# --- plan ----------------------------------------------------------------------------------------

plan() {
  echo "Settings of this host for the profile $profile"
  plan_rows | while IFS=';' read -r action _ name _ _ now new _; do
    case $action in
      set) printf '  %-36s %s -> %s\n' "$name" "$(plain "$now")" "$new" ;;
      missing) printf '  %-36s not on this kernel, or not visible in this container\n' "$name" ;;
      *) printf '  %-36s %s (good)\n' "$name" "$(plain "$now")" ;;
    esac
  done
  echo 'Reasons and risks: docs/tuning.md'
}

# --- apply ---------------------------------------------------------------------------------------

# The kernel's ceiling of the descriptor limit, now and after the next boot, once all rows are done: a limit above it
# cannot be set, and keeps everyone from logging in. Sets `ceiling`, and `ceiling_why`.
find_ceiling() {
  now=$(echo "$rows" | awk -F';' '$3 == "fs.nr_open" && $1 != "missing" { print $7 }')
  [ -n "$now" ] || now=$(current sysctl /proc/sys/fs/nr_open)
  ceiling=${now:-1048576}
  ceiling_why="it is $ceiling"
  # The kernel's own until a file sets it; the last one counts, and sysctl.conf, which not everyone reads, if it is less.
  boot=$({
    other_ceilings before
    text=$(text_of "$SYSCTL")
    # Where there is nothing of ours to write, the old file stays.
    [ -n "$text" ] || text=$(file_text "$SYSCTL")
    print_ceiling "$SYSCTL" "$(echo "$text" | last_value sysctl fs.nr_open)"
    other_ceilings later
  } | tail -n 1)
  last=$(print_ceiling /etc/sysctl.conf "$(file_text /etc/sysctl.conf | last_value sysctl fs.nr_open)")
  boot=${boot:-1048576}
  if [ -n "$last" ] && [ "${last%% *}" -lt "${boot%% *}" ]; then boot=$last; fi
  if [ "${boot%% *}" -lt "$ceiling" ]; then
    ceiling=${boot%% *}
    ceiling_why="no file sets it at boot, when it is $ceiling"
    [ "$boot" = "$ceiling" ] || ceiling_why="${boot#* } sets it to $ceiling at boot"
  fi
}

# PATH NUMBER: both, if there is a number.
print_ceiling() {
  case $2 in '' | *[!0-9]*) ;; *) echo "$2 $1" ;; esac
}

# before|later: what files that are read before or after ours set the ceiling to.
other_ceilings() {
  other_files | while IFS= read -r file; do
    when=before
    [ "$(printf '%s\n' "${file##*/}" "${SYSCTL##*/}" | sort | tail -n 1)" = "${SYSCTL##*/}" ] || when=later
    [ "$when" != "$1" ] || print_ceiling "$file" "$(file_text "$file" | last_value sysctl fs.nr_open)"
  done
}

# SYNTAX: the lines of a configuration file from the rows that are to be set at boot. Where the file that is there sets
# something better, that stays.
our_lines() {
  echo "$rows" | while IFS=';' read -r action kind name path unit now new direction; do
    case $action in set | applied | boot) ;; *) continue ;; esac
    case $1$kind in
      sysctlsysctl)
        old=$(file_text "$SYSCTL" | last_value sysctl "$name")
        [ -z "$old" ] || new=$(better "$direction" "$old" "$new")
        case $name in net.netfilter.*) printf '-' ;; esac
        echo "$name = $new"
        ;;
      limitslimit) limit_lines "$name" "$unit" "$now" "$new" "$direction" ;;
      tmpfilessysfs) echo "w $path - - - - $new" ;;
    esac
  done
}

# NAME UNIT CURRENT NEW DIRECTION: the lines of a limit, for everyone but root and for root. Where the ceiling leaves no
# more than there is, there is nothing to write.
limit_lines() {
  word=hard
  [ "$1" != memlock ] || word=-
  number=$4
  [ "$4" = unlimited ] || number=$(awk -v number="$4" -v unit="$2" 'BEGIN { printf "%.0f", number / unit }')
  for who in '*' root; do
    old=$(file_text "$LIMITS" | last_value limits "$who $word $1")
    to=$number
    [ -z "$old" ] || to=$(better "$5" "$old" "$number")
    if [ "$1" = nofile ]; then
      if [ "$to" = unlimited ] || [ "$to" -gt "$ceiling" ]; then to=$ceiling; fi
      if [ "$3" = unlimited ] || [ "$to" -le "$3" ]; then continue; fi
    fi
    echo "$who $word $1 $to"
  done
}

# SYNTAX OURS, the old text on stdin: its lines that are about something else than ours, no descriptor limit above the
# ceiling. Status 3 if one was.
kept_lines() {
  ours=$2 awk -v syntax="$1" -v ceiling="$ceiling" "$LINES"'
    BEGIN { count = split(ENVIRON["ours"], line, "\n"); for (i = 1; i <= count; i++) is_ours[key_of(line[i])] }
    {
      key = key_of($0)
      if (key == "" || key in is_ours) next
      text = trimmed($0)
      if (syntax == "limits" && key ~ / nofile$/ && (value_of($0) !~ /^[0-9]+$/ || value_of($0) + 0 > ceiling + 0)) {
        text = key " " ceiling
        status = 3
      }
      print text
    }
    END { exit status }'
}

# The text of a configuration file: what the one that is there sets and we do not, then ours. Of two lines the later one counts.
text_of() {
  case $1 in
    "$SYSCTL") syntax=sysctl ;;
    "$LIMITS") syntax=limits ;;
    *) syntax=tmpfiles ;;
  esac
  lines=$(our_lines "$syntax")
  status=0
  old=$(file_text "$1" | kept_lines "$syntax" "$lines") || status=$?
  # A file that we have nothing to say in stays as it is.
  [ -n "$lines" ] || [ "$status" -ne 0 ] || return 0
  connections=100000
  [ "$profile" = 100k ] || connections=1000000
  # shellcheck disable=SC2016 # The backticks are text.
  printf '%s\n' \
    "# Ringmain, tuned for $connections connections. Not to be edited:"' `ringmain tune apply` writes it anew, and' \
    '# `ringmain tune revert` (or scripts/tune.sh revert) takes it back.'
  [ -z "$old" ] || printf '%s\n' '# Kept of what this file set before:' "$old"
  [ -z "$lines" ] || printf '%s\n' "$lines"
}

# PATH, text on stdin: whole or not at all; permissions stay.
write_whole() {
  if [ -L "$root$1" ]; then
    echo "it is a symbolic link: remove it, or make it a file" >&2
    return 1
  fi
  if [ -f "$root$1" ]; then
    cp -p "$root$1" "$root$1.new" || return 1
  fi
  cat >"$root$1.new" && mv -f "$root$1.new" "$root$1"
}

copy_path() {
  echo "$root$DIRECTORY/$(echo "${1#/}" | tr / -)"
}

# Directories above a path that are not there, outermost first.
missing_directories() {
  directory=$(dirname "$1")
  if [ "$directory" != / ] && [ ! -d "$root$directory" ]; then
    (missing_directories "$directory")
    echo "directory $directory"
  fi
}

# What is there now of all that will change, beside what the record knows already.
new_entries() {
  echo "$rows" | while IFS=';' read -r action kind name path _ now _; do
    [ "$action" = set ] || continue
    case $kind in
      limit) is_recorded "limit $name" || echo "limit $name $now" ;;
      *) is_recorded "value $path" || echo "value $path $now" ;;
    esac
  done
  missing_directories "$RECORD"
  for file in "$SYSCTL" "$LIMITS" "$TMPFILES"; do
    [ -n "$(text_of "$file")" ] || [ -n "$(if_refused "$file")" ] || continue
    if grep -qxF -e "absent $file" -e "saved $file" "$root$RECORD" 2>/dev/null; then continue; fi
    if [ -e "$root$file" ]; then
      echo "saved $file"
    else
      missing_directories "$file"
      echo "absent $file"
    fi
  done
}

# FILE: its text if the system lets nothing be set.
if_refused() {
  rows=$(echo "$rows" | awk -F';' '$1 != "set" || $2 == "limit"')
  find_ceiling
  text_of "$1"
}

record() {
  entries=$(new_entries)
  mkdir -p "$root$DIRECTORY" || return 1
  while read -r kind file; do
    [ "$kind" != saved ] || cp -p "$root$file" "$(copy_path "$file")" || return 1
  done <<ENTRIES
$entries
ENTRIES
  {
    if [ -f "$root$RECORD" ]; then
      cat "$root$RECORD"
    else
      # shellcheck disable=SC2016 # The backticks are text.
      printf '# What was there before Ringmain tuned this host. `ringmain tune revert` and scripts/tune.sh revert read it.\n'
    fi
    [ -z "$entries" ] || echo "$entries"
  } | write_whole "$RECORD" || return 1
  [ -n "$root" ] || sync
}

# FILE VALUE: sets a live value, and looks whether it was taken.
set_live() {
  if ! (printf '%s\n' "$2" >"$root$1") 2>/dev/null; then
    return 1
  fi
  seen=$(sed 's/.*\[\(.*\)\].*/\1/' "$root$1")
  [ "$(plain "$seen")" = "$(plain "$2")" ]
}

refuse() {
  echo "refused: $1"
  refused=$((refused + 1))
}

apply() {
  rows=$(plan_rows)
  find_ceiling
  record || fail 1 "cannot keep what was there in $RECORD: nothing was changed, since it could not be taken back"
  taken=''
  while IFS=';' read -r action kind name path unit now new direction; do
    if [ "$action" = set ] && [ "$kind" != limit ]; then
      if set_live "$path" "$new"; then
        echo "$name: $(plain "$now") -> $new"
      else
        refuse "$name: the system does not let $new be set here"
        continue
      fi
    fi
    taken="$taken$action;$kind;$name;$path;$unit;$now;$new;$direction
"
  done <<ROWS
$rows
ROWS
  rows=$taken
  find_ceiling
  # shellcheck disable=SC2030,SC2031 # Only there, to see whether the ceiling makes a difference.
  if [ "$(text_of "$LIMITS")" != "$(ceiling=9223372036854775807 && text_of "$LIMITS")" ]; then
    echo "note: nofile: no limit above $ceiling is written: one above fs.nr_open keeps everyone from logging in, and" \
      "$ceiling_why. Raise fs.nr_open for good (in a container: on the host), then apply again"
  fi
  for file in "$SYSCTL" "$LIMITS" "$TMPFILES"; do
    text=$(text_of "$file")
    [ -n "$text" ] || continue
    [ "$text" != "$(cat "$root$file" 2>/dev/null)" ] || continue
    if mkdir -p "$(dirname "$root$file")" && echo "$text" | write_whole "$file"; then
      echo "$file is written"
    else
      refuse "$file"
    fi
  done
  [ "$refused" -eq 0 ] || fail 1 "$refused refused: in a container, settings of the host have to be made on the host"
}

# --- revert --------------------------------------------------------------------------------------

revert_entry() {
  kind=$1 path=${2%% *} text=${2#* }
  case $kind in
    value)
      [ -e "$root$path" ] || return 0
      now=$(sed 's/.*\[\(.*\)\].*/\1/' "$root$path")
      [ "$(plain "$now")" != "$(plain "$text")" ] || return 0
      if set_live "$path" "$text"; then echo "$path: $(plain "$now") -> $(plain "$text")"; else refuse "$path"; fi
      ;;
    absent)
      [ -e "$root$path" ] || return 0
      if rm -f "$root$path"; then echo "$path is removed"; else refuse "$path"; fi
      ;;
    saved)
      copy=$(copy_path "$path")
      if cmp -s "$copy" "$root$path"; then return 0; fi
      if cp -p "$copy" "$root$path.new" && mv -f "$root$path.new" "$root$path"; then
        echo "$path is as it was"
      else
        refuse "$path"
      fi
      ;;
    directory) rmdir "$root$path" 2>/dev/null || : ;;
    limit | '#') ;;
    *) fail 1 "$RECORD has a line of an unknown kind: $kind" ;;
  esac
}

revert() {
  [ -f "$root$RECORD" ] || fail 1 "nothing to revert: $RECORD is not there, so nothing was applied on this host"
  # The last first: a directory goes after what was made in it.
  entries=$(sed '1!G;h;$!d' "$root$RECORD")
  while read -r kind rest; do
    revert_entry "$kind" "$rest"
  done <<ENTRIES
$entries
ENTRIES
  [ "$refused" -eq 0 ] || fail 1 "$refused refused: $RECORD stays, run revert again once that is mended"
  rm -f "$root$RECORD"
  while read -r kind rest; do
    case $kind in
      saved) rm -f "$(copy_path "$rest")" ;;
    esac
  done <<ENTRIES
$entries
ENTRIES
  while read -r kind rest; do
    [ "$kind" != directory ] || rmdir "$root$rest" 2>/dev/null || :
  done <<ENTRIES
$entries
ENTRIES
}

# --- command line --------------------------------------------------------------------------------

verb=${1:-}
case $verb in
  plan | apply | revert) shift ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
profile=''
conntrack=no
huge_pages=no
while [ $# -gt 0 ]; do
  case $1 in
    100k | 1m) profile=$1 ;;
    --conntrack) conntrack=yes ;;
    --huge-pages) huge_pages=yes ;;
    --root)
      [ $# -gt 1 ] || fail 2 "--root needs a directory"
      root=${2%/}
      shift
      ;;
    *) fail 2 "\"$1\" is neither a profile (100k, 1m) nor an option: see --help" ;;
  esac
  shift
done
[ "$verb" = revert ] || [ -n "$profile" ] || fail 2 "which profile? 100k or 1m"
if [ "$verb" != plan ] && [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
  fail 1 "\`$verb\` changes settings of the whole host and needs root: run it with sudo"
fi
"$verb"
