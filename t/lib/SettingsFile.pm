package SettingsFile;

# Settings files written by hand. A process keeps the settings it has while the
# file is younger than two seconds, because an editor may still be writing it.
# A file from here looks older, and is read at once.

use strict;
use warnings;
use Carp     qw(croak);
use Exporter qw(import);

our @EXPORT_OK = qw(forget_settings settle write_settings_file);

my $AGE = 10;    # seconds

# Makes a file look older.
sub settle {
    my ($path) = @_;
    my $then = time - $AGE;
    return utime $then, $then, $path;
}

# From here on the site's settings lie in a file of another name, so that its
# next settings are the first ones, as for a process that starts.
my $number = 0;

sub forget_settings {
    my ($site) = @_;
    unlink $site->{conf};
    $site->{conf} = "$site->{dir}/logmein.conf." . ++$number;
    $site->write_settings;
    return;
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
