package Tree;

# What a folder holds, to the last byte; and `logmein account` on the helper's site.

use strict;
use warnings;
use Exporter   qw(import);
use File::Find ();
use Run        qw(logmein);
use Test::More;

our @EXPORT_OK = qw(account content done_ok same_ok tree @CHEAP);
our @CHEAP     = qw(--scheme sha256crypt --cost 1000 --password-stdin);

# The command with the password "secret", where one is needed, and a cheap hash.
sub account {
    my ( $word, @arguments ) = @_;
    my @password = $word =~ /\A(?:add|passwd)\z/ ? @CHEAP : ();
    return logmein( { stdin => "secret\n" }, 'account', $word, @password, @arguments );
}

sub tree {
    my ($root) = @_;
    my %tree;
    my $look = sub {
        my @stat = lstat or return;
        my $what =
              -l _ ? readlink
            : -f _ ? do { local ( @ARGV, $/ ) = ($_); scalar( <<>> ) // q{} }
            :        q{};
        $tree{ $File::Find::name =~ s/\A\Q$root\E//r } = sprintf '%o %d %d %s', @stat[ 2, 4, 5 ],
            -d _ ? q{} : "$stat[3] $what";
    };
    File::Find::find( { wanted => $look, no_chdir => 1 }, $root );
    return \%tree;
}

# Are two of them alike?
sub same_ok {
    my ( $now, $before, $name ) = @_;
    my %all     = ( %{$now}, %{$before} );
    my @changed = grep { ( $now->{$_} // q{} ) ne ( $before->{$_} // q{} ) } sort keys %all;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is( "@changed", q{}, $name );
}

sub content {
    my ($path) = @_;
    open my $file, '<:raw', $path or return;
    local $/ = undef;
    return scalar readline($file) // q{};
}

# Says why not.
sub done_ok {
    my ( $answer, $name ) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is( $answer->{status}, 0, $name ) || diag( $answer->{err} );
}

1;
