#!/bin/bash

# curl, as shell scripts use it; see xt/clients.t for what each recipe is to print.

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
jar=$folder/jar

fetch() {
    curl -sS --cacert "$CA" -w '\n%{http_code}' "$@"
}

# The status and the body's first line.
shown() {
    local answer
    answer=$(fetch "$@")
    echo "${answer##*$'\n'} ${answer%%$'\n'*}"
}

field() {
    sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" <<<"$2"
}

# Logs in with these options; with the token and the jar opens a page, or prints
# status and "status" of a refusal.
open_with() {
    local page=$1 answer token
    shift
    rm -f "$jar"
    answer=$(fetch -c "$jar" "$@")
    token=$(field security_token "$answer")
    if [ -n "$token" ]; then
        shown -b "$jar" "$BASE${SLASH:-}$token$page"
    else
        echo "${answer##*$'\n'} $(field status "$answer")"
    fi
}

form=(--data-urlencode "user=$LOGIN" --data-urlencode "pass=$PASS")
only=$BASE/login/?login_only=1

recipe() {
    local head
    case $1 in
    json) open_with /json "${form[@]}" "$only" ;;
    jar) shown -L -c "$jar" "${form[@]}" -d goto_uri=/jar "$BASE/login/" ;;
    refresh)
        head=$(fetch -i -c "$jar" "${form[@]}" -d goto_uri=/refresh "$BASE/login/")
        shown -b "$jar" "$BASE$(sed -n 's/.*META HTTP-EQUIV="refresh" CONTENT="2;URL=\(\/cpsess[^"]*\)".*/\1/p' <<<"$head")"
        ;;
    first)
        head=$(fetch -i "${form[@]}" "$only")
        shown -H "Cookie: $(sed -n 's/^Set-Cookie: \([^;]*\).*/\1/pI' <<<"$head" | head -n 1)" \
            "$BASE$(field security_token "$head")/first"
        ;;
    named)
        open_with /none "${form[@]}" "$only" >/dev/null
        head=$(fetch "${form[@]}" -c "$jar" "$only")
        shown -H "Cookie: $(awk '$6 ~ /session$/ { print $6 "=" $7 }' "$jar")" \
            "$BASE$(field security_token "$head")/named"
        ;;
    multipart) open_with /multipart -F "user=$LOGIN" -F "pass=$PASS" -F goto_uri=/ "$only" ;;
    origin) open_with /origin "${form[@]}" -H "Origin: ${CLEAR%:*}" "$only" ;;
    foreign) open_with /foreign "${form[@]}" -H 'Origin: https://portal.example' "$only" ;;
    slashes) SLASH=/ open_with /slashes "${form[@]}" "$only" ;;
    appended) shown -L -c "$jar" "$URL&goto_uri=/appended" ;;
    login) shown -L -c "$jar" "$LOGIN_URL&goto_uri=%2Flogin-form" ;;
    theme) fetch -L -c "$folder/theme" -o /dev/null -w '%{url_effective}\n' "$THEME" | sed -n 's,.*/frontend/\([^/]*\)/.*,\1,p' ;;
    wrong) open_with /wrong -d "user=$LOGIN" -d pass=wrong "$only" ;;
    get) open_with /get -G "${form[@]}" -d login_only=1 "$BASE/login/" ;;
    query) open_with /query "$only&user=$LOGIN&pass=$PASS" -X POST ;;
    clear) open_with /clear -L "${form[@]}" "$CLEAR/login/?login_only=1" ;;
    followed) fetch -L -c "$jar" "${form[@]}" "$CLEAR/login/" | grep -o cpsess || echo none ;;
    esac
}

for name; do
    echo "$name: $(recipe "$name")"
done
