package Cpanel::LogMeIn::Command;

use strict;
use warnings;
use Cpanel::LogMeIn ();
use Getopt::Long    ();

our $VERSION = '0.01';

# Exit codes; 0 is success or yes, 1 is no.
my $USAGE   = 2;
my $TROUBLE = 3;

my %CLASS = map { $_ => 'Cpanel::LogMeIn::Command::' . ucfirst }
    qw(account attempts completion config doctor hash key log login serve session store);

# The names of the commands.
sub names {
    my @names = sort keys %CLASS;
    return @names;
}

# What is wrong with the arguments; main() prints it.
sub _refuse {
    my ( $sentence, $class ) = @_;
    die { sentence => $sentence, class => $class };
}

# Prints a page of the manual without perldoc, which may not be installed: the whole
# page, or of the named action what belongs to it; for wrong usage the synopsis only.
sub _help {
    my ( $status, $class, $action ) = @_;
    require Pod::Usage;
    my $file = defined $class ? $INC{ $class =~ s{::}{/}gr . '.pm' } : $0;
    my %part = ( -verbose => $status ? 0 : 2 );
    %part = ( -verbose => 99, -sections => [ "COMMANDS/\Q$action\E", 'OPTIONS', 'EXIT STATUS' ] )
        if !$status && length( $action // q{} );
    Pod::Usage::pod2usage(
        -exitval   => 'NOEXIT',
        -input     => $file,
        -noperldoc => 1,
        -output    => $status ? \*STDERR : \*STDOUT,
        %part
    );
    return $status;
}

# Takes the options out of the arguments. Options end at the first other argument if
# they belong to the whole command.
sub _read_options {
    my ( $arguments, $class, $order, @known ) = @_;
    my ( %option, @complaints );
    local $SIG{__WARN__} = sub { push @complaints, @_ };
    my $parser =
        Getopt::Long::Parser->new( config => [ qw(no_auto_abbrev no_ignore_case), $order ] );
    $parser->getoptionsfromarray( $arguments, \%option, @known, 'help|h' )
        or _refuse( join( q{ }, map { ucfirst =~ s/\n\z/./r } @complaints ), $class );
    return %option;
}

# The action's entry in the class's table, and its name.
sub _find_action {
    my ( $class, $name, $arguments ) = @_;
    my %actions = $class->actions;
    return ( q{}, $actions{q{}} ) if $actions{q{}};
    my $word   = shift @{$arguments};
    my $choice = join ', ', sort keys %actions;
    _refuse( "'$name' needs a word: one of $choice.", $class ) if !defined $word;
    return ( undef, undef )                                    if $word =~ /\A(?:-h|--help)\z/;
    _refuse( "Unknown word '$word' for '$name': use $choice.", $class ) if !$actions{$word};
    return ( $word, $actions{$word} );
}

# The arguments that are no options: as many as the table says.
sub _check_arguments {
    my ( $class, $wanted, @given ) = @_;
    my $least = grep { !/[?]\z/ } @{$wanted};
    my $many  = grep { /[.]{3}/ } @{$wanted};
    _refuse( "Missing argument: $wanted->[@given].",        $class ) if @given < $least;
    _refuse( "Unexpected argument '$given[ @{$wanted} ]'.", $class )
        if !$many && @given > @{$wanted};
    return;
}

# The class of a command, loaded; undef if there is none of that name.
sub class_of {
    my ($name) = @_;
    my $class  = $CLASS{$name} // return;
    my $file   = $class =~ s{::}{/}gr . '.pm';
    require $file;
    return $class;
}

sub _dispatch {
    my (@arguments) = @_;
    my %option = _read_options( \@arguments, undef, 'require_order', 'version' );
    return _help(0) if $option{help};
    if ( $option{version} ) {
        print "logmein $Cpanel::LogMeIn::VERSION\n";
        return 0;
    }
    my $name = shift @arguments // _refuse('A command is missing.');
    if ( $name eq 'help' ) {
        return _help(0) if !@arguments;
        ( $name, @arguments ) = ( shift @arguments, '--help' );
    }
    my $class = class_of($name) // _refuse("Unknown command '$name'.");
    my ( $word, $action ) = _find_action( $class, $name, \@arguments );
    return _help( 0, $class ) if !$action;
    %option =
        _read_options( \@arguments, $class, 'permute', 'config=s', @{ $action->{options} // [] } );
    return _help( 0, $class, $word ) if $option{help};
    _check_arguments( $class, $action->{arguments} // [], @arguments );
    my $complaint = $class->complaint( $word, \%option, @arguments );
    _refuse( $complaint, $class )              if defined $complaint;
    local $ENV{LOGMEIN_CONF} = $option{config} if defined $option{config};
    return $class->run( $word, \%option, @arguments );
}

# What the program does; returns the exit status.
sub main {
    my ( $class, @arguments ) = @_;
    my $status;
    return $status // 0 if eval { $status = _dispatch(@arguments); 1 };
    my $error = $@;
    if ( ref $error ne 'HASH' ) {
        print {*STDERR} "logmein: $error";
        return $TROUBLE;
    }
    print {*STDERR} 'logmein: ', $error->{sentence} =~ tr/\x00-\x1f\x7f/?/r, "\n";
    return _help( $USAGE, $error->{class} );
}

# For the subclasses: the settings file that is in use, and the usual one.
sub usual_settings_file { return '/etc/logmein.conf' }

sub settings_file {
    my ($class) = @_;
    return length( $ENV{LOGMEIN_CONF} // q{} ) ? $ENV{LOGMEIN_CONF} : $class->usual_settings_file;
}

# For the subclasses: an error message about the options and arguments; undef if they
# are valid.
sub complaint { return }

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Command - the program logmein

=head1 DESCRIPTION

Internal to L<logmein>. Each command is a subclass, C<Cpanel::LogMeIn::Command::NAME>,
whose POD is the command's page of the manual and the text of its C<--help>.

=head1 METHODS OF A COMMAND

=over 4

=item C<actions>

A list: the word after the command, such as C<list>, or the empty string for a command
without such words; and a hash reference with C<options>, specifications for
L<Getopt::Long>, and C<arguments>, the names of the other arguments. A name that ends
with C<?> may be left out, one with C<...> stands for any number.

=item C<complaint( action, options, arguments )>

A sentence that says what is wrong with them, or undef.

=item C<run( action, options, arguments )>

Does it, and returns the exit status: 0, or 1 for no. Dies with a message that ends with
a line feed if it can't.

=back

=head1 LICENSE

MIT: see the file LICENSE.

=cut
