package SettingsFile;

# Settings files written by hand. A process keeps the settings it has while the
# file is younger than two seconds, because an editor may still be writing it.
# A file from here looks older, and is read at once.

use strict;
use warnings;
use Carp     qw(croak);
use Exporter qw(import);

our @EXPORT_OK = qw(settle write_settings_file);

my $AGE = 10;    # seconds

# Makes a file look older.
sub settle {
    my ($path) = @_;
    my $then = time - $AGE;
    return utime $then, $then, $path;
}

# In one step, as an operator should.
sub write_settings_file {
    my ( $path, $text ) = @_;
    open my $file, '>', "$path.new" or croak "$path.new: $!";
    print {$file} $text;
    close $file or croak "$path.new: $!";
    chmod oct 644, "$path.new" or croak "$path.new: $!";
    settle("$path.new") or croak "$path.new: $!";
    rename "$path.new", $path or croak "$path: $!";
    return;
}

1;
