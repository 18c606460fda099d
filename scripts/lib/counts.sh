# Reads from the output of a test runner how many tests passed and failed. Sourced by scripts/test; expects LOGS.
# shellcheck shell=bash

# count_tests KIND STEP prints "PASSED FAILED".
count_tests() {
  local log=$LOGS/$2.log
  case $1 in
    cargo) count_cargo "$log" ;;
    node) count_node "$LOGS/$2.tap" ;;
    pytest) count_pytest "$log" ;;
    *) echo "0 0" ;;
  esac
}

# Adds up the numbers before the given words in the lines that the first expression selects.
count_words() {
  local lines=$1 passed=$2 failed=$3 file=$4
  if [ ! -f "$file" ]; then
    echo "0 0"
    return
  fi
  awk -v lines="$lines" -v passed_word="^($passed)$" -v failed_word="^($failed)$" '
    { gsub(/\033\[[0-9;]*m/, "") }
    $0 ~ lines {
      count = split($0, words, /[ ,;:=()\[\]]+/)
      for (i = 2; i <= count; i++) {
        if (words[i - 1] !~ /^[0-9]+$/) continue
        if (words[i] ~ passed_word) passed += words[i - 1]
        if (words[i] ~ failed_word) failed += words[i - 1]
      }
    }
    END { print passed + 0, failed + 0 }
  ' "$file"
}

# "test result: ok. 3 passed; 0 failed; ..." once a binary, or nextest's one
# "Summary [ 1.2s] 9 tests run: 7 passed (1 slow), 1 failed, 1 timed out, 0 skipped".
count_cargo() {
  count_words '^test result: |^ *Summary \[' 'passed' 'failed|timed|exec' "$1"
}

# "12 passed, 1 failed, 2 errors in 3.4s"
count_pytest() {
  count_words ' in [0-9.]+s' 'passed' 'failed|errors?' "$1"
}

# "# pass 12", "# fail 1" and "# cancelled 0" at the end of the TAP.
count_node() {
  if [ ! -f "$1" ]; then
    echo "0 0"
    return
  fi
  awk '
    /^# pass [0-9]+$/ { passed += $3 }
    /^# (fail|cancelled) [0-9]+$/ { failed += $3 }
    END { print passed + 0, failed + 0 }
  ' "$1"
}
